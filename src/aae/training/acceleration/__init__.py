"""How a step runs faster without meaning anything else: precision, compiled programs, CUDA graphs, processes, prefetch."""
