"""The nouns of moe-doctor: frozen data, standard library only, no input or output."""
