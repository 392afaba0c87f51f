"""Many workers send the rows of one run: who may use how much, who has which rows. Nothing here knows Ray."""
