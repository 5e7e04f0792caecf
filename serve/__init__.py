"""The endpoint: an HTTP front (`front`), the replica behind it (`engine`), and Ray Serve around both (`app`)."""
