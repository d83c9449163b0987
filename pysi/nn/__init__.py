"""Networks by hand: layers, loss, and the table that they read and write."""
