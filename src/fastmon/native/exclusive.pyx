"""Exclusive use of a native object: one call at a time, whichever thread or callback it comes from.

What it does not do: wait. A second call is refused, so nothing can deadlock, and nothing native is entered twice.
"""


cdef class Exclusive:
    """A context manager that one call at a time may be in. Every method that touches the native object's state enters it.

    what: names the object in messages.

    Raises RuntimeError while another call is in it.
    """

    def __cinit__(self, str what not None):
        self.what = what

    def __enter__(self):
        if self.is_held:  # nothing runs between this and the next line: this thread holds the interpreter's lock
            raise RuntimeError(f"{self.what} is in use: another thread, or the caller of this one, is in one of its methods")
        self.is_held = True

    def __exit__(self, *_):
        self.is_held = False
