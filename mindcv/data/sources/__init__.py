"""Where samples come from: folders, lists, packed data, tar shards, buckets, arrays; `samples` is what they share."""
