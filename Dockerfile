# The container image: the exporter and what it runs on, for a user without rights, on a read-only
# root file system; all it writes is in /var/lib/smsbat-exporter.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# The parts that seldom change come first, so that a new version of the code builds in seconds.
COPY requirements/run.txt requirements/build.txt requirements/
RUN python -m venv --without-pip /opt/smsbat-exporter \
    && python -m pip --python /opt/smsbat-exporter/bin/python install --no-cache-dir --require-hashes -r requirements/run.txt \
    && python -m venv --without-pip /build \
    && python -m pip --python /build/bin/python install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
RUN /build/bin/python -m hatchling build --target wheel --directory /dist \
    && python -m pip --python /opt/smsbat-exporter/bin/python install --no-cache-dir --no-deps --no-index /dist/*.whl

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
# Past any proxy of the environment: this asks ourselves.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:10978/-/healthy', timeout=4)"]
ENTRYPOINT ["smsbat-exporter"]
CMD ["run", "--config.file=/etc/smsbat-exporter/config.yaml"]
