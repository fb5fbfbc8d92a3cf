"""The pictures, drawn with matplotlib without pyplot: no window, no global state, safe in any thread."""
