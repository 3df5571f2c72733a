"""The HTTP front of the one door: what kubectl and every other Kubernetes client talks to. Needs the `live` extra."""
