"""The page of a live cluster: its files, and what stands between a browser and the API server."""
