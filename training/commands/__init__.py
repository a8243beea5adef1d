"""The commands of `fg-train`."""
