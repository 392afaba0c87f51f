"""The kinds of requests that the simulator serves next to chat completions, each with its own bodies and answers."""
