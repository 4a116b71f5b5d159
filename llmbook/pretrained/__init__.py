"""Pretrained models: reading what others have trained, saving one's own, fetching by name."""

from llmbook.pretrained.loading import download, fetched, from_pretrained
from llmbook.pretrained.model import Pretrained

__all__ = ["Pretrained", "download", "fetched", "from_pretrained"]
