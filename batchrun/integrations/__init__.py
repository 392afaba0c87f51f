"""Other systems that a run can be shown in: each one file, imported only when it is asked for."""
