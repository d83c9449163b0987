"""Python for the browser: Pyodide, wheels, and notebooks for a site that runs them."""
