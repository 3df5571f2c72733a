"""For those who write strategies: a tiny cluster, generated clusters, and the conformance kit. See README.md here."""
