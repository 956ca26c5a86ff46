"""Methods that need only `jax.grad`: saliency, paths, baselines, noise."""
