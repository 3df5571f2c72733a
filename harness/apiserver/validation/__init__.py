"""What is wrong with the parts that kinds share: names, selectors, pod specs, templates; causes with field paths."""
