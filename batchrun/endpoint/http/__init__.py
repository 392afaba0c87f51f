"""One attempt: a request over HTTP, a reply or a fault."""
