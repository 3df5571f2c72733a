"""What keeps a pod off a node: one file per Filter plugin, named as kube-scheduler names it.

filter.py says what a filter is; order.py lists the plugins in order. To add one: write its file, with a function
`make_filters(pod)` that gives the filters of a pod (none where the plugin has nothing to say of it), and put it in its
place in order.py; take its name out of unmodelled.py. A filter that looks at other nodes has Scope.CLUSTER; it offers
`live`, a mask that the counts of the state keep up to date (live_masks.py), or else is asked anew after every change.
"""
