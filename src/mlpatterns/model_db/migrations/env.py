"""Alembic's environment script: runs the migrations on our connection, inside our transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
