"""Two worlds that differ in what is private: an outsider plays the same scripts in both, and has to see no difference."""
