"""What to run: sections, job file, model catalogue and prices."""
