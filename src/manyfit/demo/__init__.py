"""The main job: `manyfit demo` tunes a Keras classifier of clothes, here or on Spark."""
