"""Least-to-most prompting put to a model that others trained: forms of prompts, fairly compared.

The paper compares them on models of its time, which can no longer be asked. Here they are put to
one that everybody can run, through any server that speaks as OpenAI's does. Each task shows the
same exemplars in each form. Those of the English stories were chosen on other problems than those
that are reported, and so were the second plans of the Chinese ones; the others were not tried out
beforehand.
"""
