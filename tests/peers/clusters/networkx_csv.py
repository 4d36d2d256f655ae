import networkx

from answer import give
from rows import read

holders, top, pairs = read()
graph = networkx.Graph()
graph.add_nodes_from(top)
graph.add_edges_from(pairs)
give(holders, [list(component) for component in networkx.connected_components(graph)])
