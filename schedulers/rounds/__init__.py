"""Round strategies: Gavel's mechanism, the policies that give it shares, and the replay of a given schedule."""
