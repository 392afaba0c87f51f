"""Files and batches: `/v1/files` and `/v1/batches`, as OpenAI documents them."""
