"""How good the answers are: a score for each row, and what the scores of each model add up to."""
