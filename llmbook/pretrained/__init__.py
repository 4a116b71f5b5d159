"""Pretrained models: reading what others have trained, saving one's own, fetching by name."""

from llmbook.pretrained.loading import Pretrained, download, fetched, from_pretrained, save

__all__ = ["Pretrained", "download", "fetched", "from_pretrained", "save"]
