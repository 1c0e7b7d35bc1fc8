"""Pages that show what was measured: plots and HTML, without a server or a script."""
