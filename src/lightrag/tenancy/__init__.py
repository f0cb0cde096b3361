"""Who may do what in which workspace, with which models, and what it costs: the control plane.

It knows nothing of HTTP and nothing of engines. Documents, graphs and vectors lie in the workspaces' own stores; here
lie workspaces, tokens, users, providers' keys, models, defaults, limits, usage and the audit log, for all workspaces
in one database.
"""
