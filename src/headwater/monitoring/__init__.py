"""What is told of a worker and of all subscriptions: status, stalls, and a port for machines."""
