"""From selected solutions and pairs to a policy and a PPM, as plain Hugging Face folders.

rStar-Math (arXiv 2501.04519), sections 3.3 and 3.4. Only `policy` and `ppm` load torch.
"""
