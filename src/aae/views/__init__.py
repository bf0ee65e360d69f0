"""What people look at: a trained autoencoder with held-out rows, as plots and as a page to explore."""

from aae.views.page import Explorer
from aae.views.view import View

__all__ = ["Explorer", "View"]
