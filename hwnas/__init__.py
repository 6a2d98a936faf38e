"""hwnas: which network, at which bit widths, on which accelerator? Answered with a Pareto front."""
