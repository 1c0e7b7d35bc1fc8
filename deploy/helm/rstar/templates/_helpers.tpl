{{- define "rstar.name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Labels of an object. Takes a dict of root and component. */}}
{{- define "rstar.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: rstar
{{ include "rstar.selector" . }}
{{- end -}}

{{- define "rstar.selector" -}}
app.kubernetes.io/name: rstar
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "rstar.image" -}}
{{- $tag := default .root.Chart.AppVersion .root.Values.image.tag -}}
{{- printf "%s/%s:%s%s" .root.Values.image.registry .image $tag (default "" .suffix) -}}
{{- end -}}

{{/* Pod Security "restricted". */}}
{{- define "rstar.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.podSecurityContext.runAsUser }}
runAsGroup: {{ .Values.podSecurityContext.runAsGroup }}
fsGroup: {{ .Values.podSecurityContext.fsGroup }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "rstar.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Environment of a service: its settings, by RSTAR_<SERVICE>_<FIELD>. Takes root, service, settings. */}}
{{- define "rstar.settings" -}}
{{- $prefix := printf "RSTAR_%s_" (upper .service) -}}
{{- range $field, $value := .settings }}
- name: {{ printf "%s%s" $prefix (upper $field) }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{/* Settings that every service has. Takes root, service, port, drainSeconds. */}}
{{- define "rstar.commonSettings" -}}
host: 0.0.0.0
port: {{ .port }}
log_level: {{ .root.Values.log.level }}
log_format: {{ .root.Values.log.format }}
drain_seconds: {{ .drainSeconds }}
{{- if .root.Values.tracing.endpoint }}
trace_endpoint: {{ .root.Values.tracing.endpoint }}
trace_share: {{ .root.Values.tracing.share }}
{{- end }}
{{- if .root.Values.tls.enabled }}
tls_cert: /tls/tls.crt
tls_key: /tls/tls.key
tls_client_ca: /tls/ca.crt
{{- end }}
{{- end -}}

{{- define "rstar.tlsSecret" -}}
{{- default (printf "%s-tls" (include "rstar.name" .)) .Values.tls.existingSecret -}}
{{- end -}}

{{- define "rstar.authSecret" -}}
{{- default (printf "%s-auth" (include "rstar.name" .)) .Values.auth.existingSecret -}}
{{- end -}}

{{- define "rstar.modelClaim" -}}
{{- default (printf "%s-models" (include "rstar.name" .)) .Values.models.existingClaim -}}
{{- end -}}

{{/* The address of a gRPC service: headless, so that clients balance over its pods. */}}
{{- define "rstar.target" -}}
dns:///{{ include "rstar.name" .root }}-{{ .component }}:{{ .port }}
{{- end -}}

{{/*
A probe by the gRPC health protocol. Kubernetes has it from 1.24; before, and under mTLS, where the
kubelet has no certificate, the same is asked over HTTP where `http` names a port that tells it, or else
whether the port is open. Takes root, port, http.
*/}}
{{- define "rstar.grpcProbe" -}}
{{- if and (semverCompare ">=1.24-0" .root.Capabilities.KubeVersion.Version) (not .root.Values.tls.enabled) -}}
grpc:
  port: {{ .port }}
{{- else if .http -}}
httpGet:
  path: /ready
  port: {{ .http }}
{{- else -}}
tcpSocket:
  port: {{ .port }}
{{- end -}}
{{- end -}}

{{/* Spread over nodes and zones as far as there are some. Takes root, component. */}}
{{- define "rstar.spread" -}}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "rstar.selector" $ | nindent 6 }}
{{- end }}
{{- end -}}

{{/* Where a pod goes. Takes values of a component. */}}
{{- define "rstar.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Volumes and mounts that every pod of ours has. */}}
{{- define "rstar.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if .Values.redis.external.caSecret }}
- name: redis-ca
  mountPath: /redis
  readOnly: true
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  mountPath: /tls
  readOnly: true
{{- end }}
{{- end -}}

{{- define "rstar.volumes" -}}
- name: tmp
  emptyDir: {}
{{- with .Values.redis.external.caSecret }}
- name: redis-ca
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "rstar.tlsSecret" . }}
    defaultMode: 0440
{{- end }}
{{- end -}}

{{/*
A Deployment. Takes root, component, image, suffix, args, values (of the component), settings,
extraEnv (a list), ports, probe, liveness, startup (by default the probe), startSeconds, mounts, volumes, resources.
*/}}
{{- define "rstar.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "rstar.name" .root }}-{{ .component }}
  labels:
    {{- include "rstar.labels" . | nindent 4 }}
spec:
  {{- if eq (include "rstar.signal" .) "none" }}
  replicas: {{ .values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: {{ .maxUnavailable | default 0 }}
  selector:
    matchLabels:
      {{- include "rstar.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "rstar.labels" . | nindent 8 }}
      {{- with .values.annotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "rstar.name" .root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with .root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      {{- with .values.runtimeClassName }}
      runtimeClassName: {{ . }}
      {{- end }}
      {{- /* The service drains by itself; this is when it is killed. */}}
      terminationGracePeriodSeconds: {{ add .values.drainSeconds 15 }}
      securityContext:
        {{- include "rstar.podSecurity" .root | nindent 8 }}
      topologySpreadConstraints:
        {{- include "rstar.spread" (dict "root" .root "component" .component) | nindent 8 }}
      {{- include "rstar.placement" .values | nindent 6 }}
      containers:
        - name: {{ .image }}
          image: {{ include "rstar.image" . }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          {{- with .args }}
          args:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          env:
            {{- include "rstar.settings" (dict "service" .image "settings" .settings) | nindent 12 }}
            {{- with .extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
            {{- with .values.env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- with .envFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          ports:
            {{- range $name, $port := .ports }}
            - name: {{ $name }}
              containerPort: {{ $port }}
              protocol: TCP
            {{- end }}
          startupProbe:
            {{- .startup | default .probe | nindent 12 }}
            periodSeconds: 2
            failureThreshold: {{ div (add .startSeconds 1) 2 }}
          readinessProbe:
            {{- .probe | nindent 12 }}
            periodSeconds: 5
            timeoutSeconds: 3
          livenessProbe:
            {{- .liveness | nindent 12 }}
            periodSeconds: 20
            timeoutSeconds: 10
            failureThreshold: 6
          resources:
            {{- toYaml .resources | nindent 12 }}
          securityContext:
            {{- include "rstar.containerSecurity" .root | nindent 12 }}
          volumeMounts:
            {{- include "rstar.mounts" .root | nindent 12 }}
            {{- with .mounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        {{- include "rstar.volumes" .root | nindent 8 }}
        {{- with .volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}

{{/* A PodDisruptionBudget. Takes root, component, values. */}}
{{- define "rstar.pdb" -}}
{{- $stable := semverCompare ">=1.21-0" .root.Capabilities.KubeVersion.Version -}}
apiVersion: {{ ternary "policy/v1" "policy/v1beta1" $stable }}
kind: PodDisruptionBudget
metadata:
  name: {{ include "rstar.name" .root }}-{{ .component }}
  labels:
    {{- include "rstar.labels" . | nindent 4 }}
spec:
  {{- toYaml .values.podDisruptionBudget | nindent 2 }}
  selector:
    matchLabels:
      {{- include "rstar.selector" . | nindent 6 }}
{{- end -}}

{{/* A headless Service. Takes root, component, ports, and a name other than the component's. */}}
{{- define "rstar.headless" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "rstar.name" .root }}-{{ default .component .name }}
  labels:
    {{- include "rstar.labels" . | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "rstar.selector" . | nindent 4 }}
  ports:
    {{- range $name, $port := .ports }}
    - name: {{ $name }}
      port: {{ $port }}
      targetPort: {{ $name }}
      protocol: TCP
    {{- end }}
{{- end -}}
