"""The last stage but one: settled rows become Parquet files, in the order of the input."""
