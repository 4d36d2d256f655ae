import igraph

from answer import give
from rows import read

holders, top, pairs = read()
place = {address: index for index, address in enumerate(top)}
graph = igraph.Graph(len(top), [(place[source], place[target]) for source, target in pairs])
give(holders, [[top[index] for index in component] for component in graph.connected_components()])
