"""Who is who: identities, certificates, enrolment, and secrets at rest."""
