"""Louvain communities of weighted graphs, by igraph: louvain.py GRAPHS ANSWERS.

A line of GRAPHS is {"nodes": n, "edges": [[a, b, transfers], ...]}; the same line of ANSWERS is the community of each
node. The generator is seeded for each graph, so that the answers are always the same.
"""
import json
import random
import sys

import igraph

with open(sys.argv[1]) as graphs, open(sys.argv[2], "w") as answers:
    for line in graphs:
        graph = json.loads(line)
        random.seed(1)
        edges = [(a, b) for a, b, _ in graph["edges"]]
        weights = [weight for _, _, weight in graph["edges"]]
        communities = igraph.Graph(n=graph["nodes"], edges=edges).community_multilevel(weights=weights)
        print(json.dumps(communities.membership), file=answers)
