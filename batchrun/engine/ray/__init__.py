"""A run on a Ray cluster: Ray places the workers, carries their messages, and finds out who is dead.

Only this package imports Ray, and only the runner imports this package, when a job asks for it.
"""
