"""One model per group: thousands of small studies, each where its rows are."""
