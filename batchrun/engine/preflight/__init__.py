"""What a job will send, take and cost, before it is sent."""
