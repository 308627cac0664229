"""Code that workers run: it executes trials one after another and reports to the driver."""
