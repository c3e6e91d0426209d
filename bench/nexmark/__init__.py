"""Nexmark: what stream processors are asked about an online auction, as pelton programs; see docs/nexmark.md.

Source: Tucker, Tufte, Papadimos, Maier: NEXMark, a benchmark for queries over data streams, 2002 (queries 1 to 8);
Apache Beam's Nexmark suite (0, 9 to 13) and github.com/nexmark/nexmark (14 to 22) for the others, and for the model.
"""
