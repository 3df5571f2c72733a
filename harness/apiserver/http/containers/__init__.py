"""What clients ask of a pod's containers: logs, exec, attach, port-forward. Containers are simulated; see each file."""
