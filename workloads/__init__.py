"""Where work comes from: trace readers by format, generators, load curves, manifests, and what lint says of them."""
