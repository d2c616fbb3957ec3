"""A page of HTML about finished runs, from what lies in their folders; without jax."""
