"""Who manages which field of an object: metadata.managedFields, and server-side apply, which asks it.

Source: kubernetes.io/docs/reference/using-api/server-side-apply; sigs.k8s.io/structured-merge-diff v4.
"""
