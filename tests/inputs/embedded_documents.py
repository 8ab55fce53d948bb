"""The group of documents with embeddings that tests of syncs declare, in a file as a project has it."""

DEFINITIONS = """
entities:
  - name: doc
    join_keys: {doc_id: long}
feature_groups:
  - name: docs
    entity: doc
    features:
      - {name: text, type: embedding(3), model_version: small, index: {filters: [stars]}}
      - {name: stars, type: long}
"""
