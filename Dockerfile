# The container image: the exporter and what it runs on, for a user without rights, on a read-only
# root file system; all it writes is in /var/lib/smsbat-exporter. docs/installing.md says how to run it,
# and how two builds of one commit come out the same.
#
# A tag moves. A release names the bytes, as `docker buildx imagetools inspect` prints them for the tag:
# --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# The parts that seldom change come first, so that a new version of the code builds in seconds.
COPY requirements/run.txt requirements/build.txt requirements/
# --no-compile: bytecode as pip writes it holds the time of the build.
RUN python -m venv --without-pip /opt/smsbat-exporter \
    && python -m pip --python /opt/smsbat-exporter/bin/python install --no-cache-dir --no-compile --require-hashes -r requirements/run.txt \
    && python -m venv --without-pip /build \
    && python -m pip --python /build/bin/python install --no-cache-dir --no-compile --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY grafana grafana
COPY exporter exporter
# The bill of materials lists what is installed. -f: bytecode that a tool of the build left behind is older.
RUN /build/bin/python -m hatchling build --target wheel --directory /dist \
    && python -m pip --python /opt/smsbat-exporter/bin/python install --no-cache-dir --no-compile --no-deps --no-index /dist/*.whl \
    && /build/bin/cyclonedx-py environment --output-reproducible --output-file /opt/smsbat-exporter/sbom.cdx.json /opt/smsbat-exporter \
    && /opt/smsbat-exporter/bin/python -m compileall -q -f --invalidation-mode unchecked-hash /opt/smsbat-exporter/lib

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="smsbat-exporter" \
    org.opencontainers.image.description="A Prometheus exporter for the delivery of messages sent through SMSBAT" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/smsbat-exporter /opt/smsbat-exporter
RUN install --directory --owner=65534 --group=65534 --mode=0700 /var/lib/smsbat-exporter
ENV PATH=/opt/smsbat-exporter/bin:${PATH} PYTHONDONTWRITEBYTECODE=1
USER 65534:65534
WORKDIR /var/lib/smsbat-exporter
VOLUME /var/lib/smsbat-exporter
# Metrics; and the webhook's own listener, where one is configured.
EXPOSE 10978 10979
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-m", "exporter.healthcheck"]
ENTRYPOINT ["smsbat-exporter"]
CMD ["run", "--config.file=/etc/smsbat-exporter/config.yaml"]
